"""The console's pages: what operators see in a browser, in their language, with or without JavaScript.

Templates escape everything that they are given. Scripts and styles are files of ours and two libraries that lie here
with their digests (`static/SHA256SUMS`): nothing is fetched from anywhere, and nothing stands inline, since the policy
that goes with every page (`guard`) forbids both.

Before this room: the console's `app`. After it: `sight`, `acting`.
"""
