"""The product feed: what Google Merchant Center knows of a shop's products, and what it says of them.

    sync.py            the whole feed, in steps: preparing.py, sending.py, deleting.py, finishing.py, status.py
    product_update.py  one product, soon after a change
    images.py          one image, checked and converted
    line.py            the connection of one run to Google: token, data source, eight calls at a time
    telling.py         alerts, and the end of runs that fail

The truth about products is the catalogue's; nothing here writes it.
"""
