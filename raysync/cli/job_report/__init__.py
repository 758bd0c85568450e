"""One job after the fact, as a page that needs nothing beside itself.

`figures` computes what there is to say, `rates` and `lanes` what there is to draw, `drawing` draws
it as SVG, `tables` and `page` put it into HTML. All of it is pure: a `JobHistory` goes in, text
comes out. Whatever did not come from this package is escaped by `markupsafe`: the names of
channels are written by strangers.
"""
