"""The report of `vmcoredd report`: a page that needs no network, and files beside it.

content    what the page says of a dump, as plain values
pictures   the coordinates of its pictures
page       the page: page.html.j2, page.css, page.js
folder     a folder that appears under its name only when it is complete
"""
