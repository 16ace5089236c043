-- uses: core
-- Cancelled groups that still have members outstanding. Reads only. ARGV: 2 limit. Gives ids.
return pack(call('ZRANGE', root .. ':gc', 0, ARGV[2] - 1))
