"""The page's half: streamy.js with its types, and what serves it to pages."""
