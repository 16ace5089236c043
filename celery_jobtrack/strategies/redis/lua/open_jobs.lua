-- uses: jobs
-- Jobs that workers have open.

local found = {}

-- Add a worker's jobs, oldest first, at most so many. A job that was dropped is none, nor is one that was
-- recorded anew since and is not open, or is another worker's.
local function find_open(worker, limit)
  for _, id in ipairs(call('ZRANGE', root .. ':o:' .. worker, 0, limit - 1)) do
    local job, raw = load_job(id)
    if job and places(job)[5] == worker then
      found[#found + 1] = id
      found[#found + 1] = raw
    else
      if not job then forget(id) end
      close_for(worker, id)
    end
  end
end
