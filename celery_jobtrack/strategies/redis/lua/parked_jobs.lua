-- uses: standing
-- Parked jobs that were called, or superseded, the earliest first. Entries of others are removed.
-- ARGV: 2 the index, :lc or :ls, 3 limit, 4 how many to look at. Gives their ids.

local found, index, gone = {}, root .. ARGV[2], {}
local wanted = ARGV[2] == ':lc' and STANDING.CALLED or STANDING.SUPERSEDED
for _, id in ipairs(call('ZRANGE', index, 0, ARGV[4] - 1)) do
  if #found == tonumber(ARGV[3]) then break end
  local job = load_job(id)
  if job and job[J.waits_for] and standing_at(id, job, job[J.waits_for]) == wanted then
    found[#found + 1] = id
  else
    gone[#gone + 1] = id
  end
end
for _, id in ipairs(gone) do call('ZREM', index, id) end
return pack(found)
