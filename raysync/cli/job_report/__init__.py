"""Report of one job as a self-contained HTML page.

`figures`, `rates` and `lanes` compute, `drawing` and `picture` draw SVG, `sections` and `troubles`
prepare the values for `templates/`, which hold the HTML and the sentences. All of it is pure: a
`JobHistory` goes in, text comes out. Strangers choose the names of channels, so Jinja2
(`rendering`) escapes every value in HTML, and `Markup.format` every value in SVG.
"""
