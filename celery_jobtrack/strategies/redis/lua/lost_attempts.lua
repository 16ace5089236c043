-- uses: workers open_jobs
-- Open attempts of workers whose lease has ended. Removes entries of jobs that are not open any more.
-- ARGV: 2 limit. Gives [id, job, …].

local limit = tonumber(ARGV[2])
for _, id in ipairs(call('SMEMBERS', root .. ':o')) do
  local left = limit - #found / 2
  if left <= 0 then break end
  if not is_alive(load_worker(id)) then find_open(id, left) end
end
return pack(found)
