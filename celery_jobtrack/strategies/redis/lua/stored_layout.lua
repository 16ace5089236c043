-- uses: layout
-- Which layout the keys have. Reads only. Gives the layout, '' if there is none yet, or 'foreign'.
return layout_found()
