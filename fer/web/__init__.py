"""The Gradio page. Nothing else in `fer` imports it."""
