"""The inverses of the collectors, by subject. Those of the entities of register words are one, in
`raised/words.py`: `cudbg.words.RegisterEntity.places` tells where each word is."""
