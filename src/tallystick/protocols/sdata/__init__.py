"""SData 1.1 and its synchronization protocol: codec, rules, engine and provider (docs/sdata.md).

The codec (`names` to `json_form`) and the rules (`selection`, `conflicts`, `standing`) are pure; `engine` and `push`
carry messages between two foreign ends over a `transport`; `provider` serves any `store` to software that speaks SData.
"""
