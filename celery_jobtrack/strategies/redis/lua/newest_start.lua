-- uses: core
-- When the youngest job of a queue that has started was published. Reads only. ARGV: 2 queue.
return call('HGET', root .. ':q', ARGV[2])
