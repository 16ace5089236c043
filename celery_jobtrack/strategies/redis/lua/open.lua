-- uses: layout
-- See whose keys these are, and make them ours if they are nobody's.
-- A store that was emptied while it was in use has our fields again, without the layout.
-- Writes the layout where there is none: a store that has one can be opened on a full server.
-- Gives the layout, or 'foreign'.

local found = layout_found()
if found ~= '' then return found end
call('HSETNX', root, 'layout', C.layout)
return call('HGET', root, 'layout')
