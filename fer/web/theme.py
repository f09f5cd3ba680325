"""Choose Gradio's colours, so that all text is read easily by day and by night.

Each is at least 4.5 to 1 against what it stands on. Source: WCAG 2.2, 1.4.3. The same for the page
without a server are in fer/web/static/static.css.
"""

import gradio as gr

__all__ = ["make_theme"]

_FONTS = ("system-ui", "Segoe UI", "Roboto", "sans-serif")
# Tailwind's teal, whose middle is two steps darker: white on Gradio's #14b8a6 has 2.5 to 1.
_TEAL = gr.themes.Color(
    name="deep teal",
    c50="#f0fdfa",
    c100="#ccfbf1",
    c200="#99f6e4",
    c300="#5eead4",
    c400="#115e59",  # Soft's primary buttons under the mouse
    c500="#0f766e",
    c600="#115e59",
    c700="#134e4a",
    c800="#113f3c",
    c900="#0d3331",
    c950="#042f2e",
)
_NIGHT = "*primary_300"
_SHADOWS = (
    *(
        f"button_{kind}_shadow{when}"
        for kind in ("primary", "secondary")
        for when in ("", "_hover")
    ),
    "checkbox_label_shadow",
    "input_shadow",
)


def make_theme() -> gr.themes.Base:
    """Return Gradio's theme Soft in the colours of this page."""
    theme = gr.themes.Soft(
        primary_hue=_TEAL,
        secondary_hue=_TEAL,
        font=_FONTS,
        font_mono=("ui-monospace", "monospace"),
    )
    return theme.set(
        body_text_color_subdued="*neutral_600",
        input_placeholder_color="*neutral_500",
        input_placeholder_color_dark="*neutral_400",
        link_text_color="*primary_500",
        link_text_color_hover="*primary_600",
        link_text_color_active="*primary_600",
        link_text_color_visited="*primary_500",
        link_text_color_dark=_NIGHT,
        link_text_color_hover_dark="*primary_200",
        link_text_color_active_dark=_NIGHT,
        link_text_color_visited_dark=_NIGHT,
        # As the buttons of the Live and Photo tabs: a line, no shadow.
        block_border_width="1px",
        checkbox_border_color="*neutral_500",
        button_border_width="1px",
        button_secondary_border_color="*border_color_primary",
        **dict.fromkeys(_SHADOWS, "none"),
    )
