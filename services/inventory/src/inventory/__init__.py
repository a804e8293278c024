"""Inventory: stock per SKU and warehouse, prices, holds."""
