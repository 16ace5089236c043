-- uses: workers jobs
-- Open attempts of workers whose lease has ended. Reads only. ARGV: 2 limit. Gives [id, job, …].

local found, limit = {}, tonumber(ARGV[2])
for _, id in ipairs(call('SMEMBERS', root .. ':o')) do
  local left = limit - #found / 2
  if left <= 0 then break end
  if not is_alive(load_worker(id)) then
    for _, job_id in ipairs(call('ZRANGE', root .. ':o:' .. id, 0, left - 1)) do
      found[#found + 1] = job_id
      found[#found + 1] = call('GET', root .. ':j:' .. job_id)
    end
  end
end
return pack(found)
