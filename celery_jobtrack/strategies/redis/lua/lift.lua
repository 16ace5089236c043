-- uses: core
-- Take a halt back. Guard: it is recorded. ARGV: 2 kind and name. Writes :h. Gives 1 or 0.

return call('HDEL', root .. ':h', ARGV[2])
