-- uses: standing
-- Who stands at a key: who has it, then the line in its order, then who was superseded and is about to end.
-- Reads only. ARGV: 2 key, 3 limit
-- Gives [{job, standing, fence or false, since, priority, recorded or false, whether it lets go,
--         whether it is kept only until the start, when it runs out or false}, …].

local key, limit, found = ARGV[2], tonumber(ARGV[3]), {}

local function add(ids)
  for _, id in ipairs(ids) do
    local job = load_job(id)
    if job and #found < limit then
      local standing, since, entry = standing_at(id, job, key)
      if standing then
        local at, ends = entry[PLACE.at], call('ZSCORE', root .. ':lu:' .. key, id)
        found[#found + 1] = {id, standing, entry[PLACE.fence], since, at and 0 or job[J.priority] or 0,
                             at or job[J.enqueued_at] or false, entry[PLACE.lets_go] or false,
                             entry[PLACE.until_start] or false, ends and tonumber(ends) or false}
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
