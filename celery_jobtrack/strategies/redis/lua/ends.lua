-- uses: jobs
-- Ends of jobs that are so no more: their jobs are pruned, or run again.

-- Remove the entry of an end, which has its share in how many have succeeded.
local function remove_end(state, number, id)
  local emptied = remove_from(':e:' .. state, number, id)
  if emptied then call('ZREM', root .. ':ep:' .. state, emptied) end
  if state == STATE.SUCCESS then call('HINCRBY', root, 'succeeded', -1) end
end
