-- End a stream whose producer is gone, once: only while no producer lives, and only behind the frame that is the last.
-- KEYS: its hash, its log, its producer's lease. ARGV: for how many milliseconds it is known from now on, the number of
-- its last frame, a frame that tells the end ("<before> <last> LF frame", or nothing), the outcome, and the head of one
-- that had not begun.
local ttl_ms, last_seq = tonumber(ARGV[1]), tonumber(ARGV[2])
local state = redis.call('HMGET', KEYS[1], 'subject', 'outcome', 'last_seq', 'claim')
if not state[1] or state[2] or tonumber(state[3] or 0) ~= last_seq or redis.call('EXISTS', KEYS[3]) == 1 then
    return 0
end
if ARGV[3] ~= '' then
    redis.call('XADD', KEYS[2], (last_seq + 1) .. '-0', 'frames', ARGV[3])
    redis.call('HSET', KEYS[1], 'last_seq', last_seq + 1)
    redis.call('PUBLISH', KEYS[2], ARGV[3])
end
local time = redis.call('TIME')
redis.call('HSETNX', KEYS[1], 'head', ARGV[5])
redis.call('HSET', KEYS[1], 'outcome', ARGV[4], 'expires_at', time[1] + ttl_ms / 1000)
redis.call('PEXPIRE', KEYS[1], ttl_ms)
redis.call('PEXPIRE', KEYS[2], ttl_ms)
if state[4] then
    redis.call('PEXPIRE', state[4], ttl_ms)
end
redis.call('PUBLISH', KEYS[2], '')
return 1
