-- uses: core
-- Groups whose time to check has come, the longest overdue first. Reads only. ARGV: 2 limit. Gives ids.
return pack(call('ZRANGEBYSCORE', root .. ':gd', '-inf', string.format('%.0f', now), 'LIMIT', 0, ARGV[2]))
