-- uses: core
-- What is needed to publish a job again. Reads only. ARGV: 2 job. Gives it, or nothing.
return call('GET', root .. ':b:' .. ARGV[2])
