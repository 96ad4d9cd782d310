"""What the pages' markers `<!-- site: NAME WORDS -->` stand for: Markdown, made from the code."""

from __future__ import annotations

from collections.abc import Callable

from made import api, commands, container, entities, registers, schema

MAKERS: dict[str, Callable[..., str]] = {
    maker.__name__: maker
    for maker in (
        api.api,
        commands.commands,
        commands.exit_codes,
        commands.pyvfio_user,
        container.note_header,
        container.sizes,
        container.dump_header,
        container.entity_header,
        container.piece,
        container.version_header,
        container.entity_map,
        entities.entities_one_by_one,
        registers.register_search,
        schema.schema,
    )
}
