-- Enter leases that are held, whatever the limit: Redis lost them, or was away when they were taken.
-- KEYS: the set of each lease. ARGV: how long a lease lasts in milliseconds, then the leases.
local lease_ms = tonumber(ARGV[1])
local time = redis.call('TIME')
local expiry = time[1] * 1000 + math.floor(time[2] / 1000) + lease_ms

for number, key in ipairs(KEYS) do
    redis.call('ZADD', key, expiry, ARGV[number + 1])
    redis.call('PEXPIRE', key, lease_ms)
end
