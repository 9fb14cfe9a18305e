-- Prolong all leases of a process. One that is gone is not put back: it may have been given back a moment ago.
-- KEYS: the set of each lease. ARGV: how long a lease lasts in milliseconds, then the leases.
-- Returns the numbers, from 1, of those that are gone.
local lease_ms = tonumber(ARGV[1])
local time = redis.call('TIME')
local expiry = time[1] * 1000 + math.floor(time[2] / 1000) + lease_ms

local gone = {}
for number, key in ipairs(KEYS) do
    local lease = ARGV[number + 1]
    if redis.call('ZSCORE', key, lease) then
        redis.call('ZADD', key, expiry, lease)
        redis.call('PEXPIRE', key, lease_ms)
    else
        gone[#gone + 1] = number
    end
end
return gone
