"""Pure: the results of the pages of one long document made one, with a note of where each part came from."""
