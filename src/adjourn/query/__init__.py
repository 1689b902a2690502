"""One way to read: OData and FetchXML become one tree, the tree becomes SQL over logical tables."""
