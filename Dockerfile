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
COPY --from=build /install /usr/local
RUN useradd --create-home --uid 10001 reconciler && mkdir /work && chown reconciler /work
USER reconciler
WORKDIR /work
ENTRYPOINT ["reconciler"]
