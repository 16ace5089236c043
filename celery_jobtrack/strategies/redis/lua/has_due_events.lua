-- uses: core
-- Whether an event waits that nobody delivers. Reads only.
return #call('ZRANGEBYSCORE', root .. ':vd', '-inf', string.format('%.0f', now), 'LIMIT', 0, 1)
