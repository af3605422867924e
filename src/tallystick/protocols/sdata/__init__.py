"""SData 1.1 and its synchronization protocol: codec, rules, engine and provider (docs/sdata.md).

``codec`` turns bytes into typed values and back, ``rules`` decides what is sent, applied and claimed; both are pure.
``engine`` and ``push`` carry messages between foreign ends over a ``transport``, ``linking`` finds what two ends both
hold, ``provider`` serves any ``store`` to software that speaks SData.
"""
