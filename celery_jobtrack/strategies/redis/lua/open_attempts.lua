-- uses: core
-- Open attempts of one worker, oldest first. Reads only. ARGV: 2 worker, 3 limit. Gives [id, job, …].

local found = {}
for _, job_id in ipairs(call('ZRANGE', root .. ':o:' .. ARGV[2], 0, ARGV[3] - 1)) do
  found[#found + 1] = job_id
  found[#found + 1] = call('GET', root .. ':j:' .. job_id)
end
return pack(found)
