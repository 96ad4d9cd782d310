"""The report of `vmcoredd report`: a page that needs no network, and files beside it.

content    what the page says of a dump, as plain values
pictures   the coordinates of its pictures
page       the page: page.html.j2, page.css, page.js
fleet      the page about an archive of dumps: fleet.html.j2, fleet.css
folder     a folder that appears under its name only when it is complete
"""
