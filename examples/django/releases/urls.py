from django.urls import path

from releases import views

urlpatterns = [
    path("", views.start, name="start"),
    path("runs/<path:run_id>/", views.show, name="run"),
]
