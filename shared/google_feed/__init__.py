"""What the jobs of the product feed share: which offers a shop's products make, and what Google is told of them.

catalogue.py   products as the database has them, page by page     offers.py       product -> offers with their verdicts
settings.py    the tenant's feed settings                          attributes.py   the attributes of one offer
exclusion.py   what stays out of the feed                          labels.py       custom labels
validation.py  what Google would refuse                            differences.py  insert, patch or nothing
store.py       what was sent and how it stands, in the database    history.py      the row of a synchronisation
verdicts.py    Google's verdict on an offer                        rendering.py    the feed as a file
pictures.py    one image: judged, converted                        files.py        what is put into the bucket
"""
