-- uses: standing
-- Who stands at a key: who has it, then the line in its order, then who was superseded and is about to end.
-- Reads only. ARGV: 2 key, 3 limit
-- Gives [{job, standing, fence or false, since, priority, recorded or false, whether it lets go}, …].

local key, limit, found = ARGV[2], tonumber(ARGV[3]), {}

local function add(ids)
  for _, id in ipairs(ids) do
    local job = load_job(id)
    if job and #found < limit then
      local standing, since, entry = standing_at(id, job, key)
      if standing then
        found[#found + 1] = {id, standing, entry[2], since, job[J.priority] or 0,
                             job[J.enqueued_at] or false, entry[3] or false}
      end
    end
  end
end

add(call('ZRANGE', root .. ':lh:' .. key, 0, limit - 1))
add(call('ZRANGE', root .. ':lw:' .. key, 0, limit - 1))
-- Few are superseded at one time: each is ended at once.
local superseded = {}
for _, id in ipairs(call('ZRANGE', root .. ':ls', 0, limit - 1)) do
  local job = load_job(id)
  if job and job[J.waits_for] == key then superseded[#superseded + 1] = id end
end
add(superseded)
return pack(found)
