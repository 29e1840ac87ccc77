"""Where do the losses plug in? Translations to training frameworks; no mathematics."""
