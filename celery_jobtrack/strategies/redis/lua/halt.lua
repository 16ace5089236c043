-- uses: core
-- Record that nothing of a queue or a task may start. Guard: that is not recorded already.
-- ARGV: 2 kind and name, 3 reason or ''. Writes :h, a hash of [since, reason] by kind and name. Gives 1 or 0.

return call('HSETNX', root .. ':h', ARGV[2], pack({now, ARGV[3]}))
