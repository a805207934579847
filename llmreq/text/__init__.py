"""Pure text work: tokens, sentences, chunks, languages, and the rules of the local tier."""
