-- Count one request of a key, if it still fits into the window: the moving window of the `limits` library, whose own
-- scripts stand in for the two markers below. They are asked here with the server's clock, which all processes share,
-- where the library would send each process's own.
-- KEYS[1] the list of the key's requests, newest first. ARGV: how many may be in a window, the window in seconds, and
-- 'hit', or 'look' to count nothing.
-- Returns whether it was counted (1 or 0), how many are in the window, and seconds until the oldest leaves it.
local function acquire(KEYS, ARGV)
    --[[ acquire ]]
end
local function window(KEYS, ARGV)
    --[[ window ]]
end

local limit, seconds = tonumber(ARGV[1]), tonumber(ARGV[2])
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000

local newest = redis.call('LINDEX', KEYS[1], 0)
if newest and tonumber(newest) > now + seconds then
    -- The clock was set back: until it gets there again, what is remembered would refuse everything.
    redis.call('DEL', KEYS[1])
end

local counted = ARGV[3] == 'hit' and acquire(KEYS, {now, limit, seconds, 1})
local within = window(KEYS, {now - seconds, limit})
local reset = within and math.min(within[1] + seconds - now, seconds) or 0
return {counted and 1 or 0, within and within[2] or 0, tostring(reset)}
