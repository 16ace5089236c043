-- uses: core
-- See whose keys these are, and make them ours if they are nobody's.
-- Writes the layout of an empty store. Gives the layout, or 'foreign'.

local kind = call('TYPE', root)
kind = kind.ok or kind
if kind == 'none' then
  call('HSET', root, 'layout', C.layout)
elseif kind ~= 'hash' then
  return 'foreign'
end
return call('HGET', root, 'layout') or 'foreign'
