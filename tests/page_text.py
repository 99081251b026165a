"""What a reader of a page sees of its markup."""

import re
from html import unescape


def text_of(page: str) -> str:
    """What stands between the tags."""
    bare = re.sub(r"<(script|style)\b.*?</\1>", " ", page, flags=re.S).replace("<wbr>", "")
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", bare)).split())
