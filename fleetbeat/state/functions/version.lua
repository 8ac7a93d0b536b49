-- fb_version → the digest of the library's text; answers while rebuilding.
-- fb_rebuilding → 1 unless an epoch stands.
--
-- fb:epoch   <run_id of the server>:<fence of the registrar>

always('version', function() return VERSION end)

always('rebuilding', function() return epoch() and 0 or 1 end)
