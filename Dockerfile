# The image in which pipelines run `reconciler`:  docker run --rm -v "$PWD:/work" -e FLY_API_TOKEN IMAGE plan
FROM python:3.13-slim AS build
WORKDIR /source
COPY requirements requirements
RUN pip install --no-cache-dir --require-hashes -r requirements/build.txt \
    && pip install --no-cache-dir --prefix=/install --require-hashes -r requirements/run.txt
COPY pyproject.toml README.md LICENSE ./
COPY schemas schemas
COPY reconciler reconciler
RUN pip install --no-cache-dir --prefix=/install --no-deps --no-build-isolation .

FROM python:3.13-slim
# git tells the revision, which keeps an older apply from undoing a newer one.
RUN apt-get update && apt-get install --yes --no-install-recommends git && rm -rf /var/lib/apt/lists/*
COPY --from=build /install /usr/local
COPY docker/entrypoint.sh /usr/local/bin/entrypoint
# It begins as root and goes on as the owner of /work, whoever that is: the home takes any user's files.
RUN useradd --no-create-home --uid 10001 reconciler && mkdir /work && chown reconciler /work \
    && mkdir --mode 1777 /home/reconciler
ENV HOME=/home/reconciler
WORKDIR /work
ENTRYPOINT ["entrypoint"]
