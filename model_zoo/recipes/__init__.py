"""Published training schedules: ``model_zoo.recipes.get_recipe("detectron_1x").scale(2)``."""

from model_zoo.recipes.choice import Choice
from model_zoo.recipes.published import RECIPES, get_recipe, list_recipes, register_recipe
from model_zoo.recipes.recipe import Recipe
from model_zoo.recipes.training_case import TrainingCase

__all__ = [
    "RECIPES",
    "Choice",
    "Recipe",
    "TrainingCase",
    "get_recipe",
    "list_recipes",
    "register_recipe",
]
