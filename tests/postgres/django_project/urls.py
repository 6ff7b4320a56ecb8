"""The views of the orders, and Django's admin."""

from django.contrib import admin
from django.urls import path

from tests.postgres.django_project.orders import views

urlpatterns = [
    path("admin/", admin.site.urls),
    path("place/", views.place),
    path("place-async/", views.place_async),
    path("place-in-atomic/", views.place_in_atomic),
    path("wrong-async/", views.wrong_async),
]
