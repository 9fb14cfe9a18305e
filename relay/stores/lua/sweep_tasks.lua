-- Find tasks whose worker's lease is over. Those that had not begun, or may be run again, wait again, before the others
-- of their key; the others are lost. What is known of those that wait is prolonged.
-- KEYS: the hash of waiting tasks, the ring of keys, the hash of taken tasks. ARGV: the prefix of the keys' lists, the
-- prefix of leases, the prefix and the suffix of the streams' hashes, for how many milliseconds what waits is
-- known.
-- Returns the lost ones, a stream and a task each; nobody else is told of them.
local lost = {}
local all = redis.call('HGETALL', KEYS[3])
for number = 1, #all, 2 do
    local stream, known = all[number], cjson.decode(all[number + 1])
    if redis.call('EXISTS', ARGV[2] .. known.worker) == 0 then
        redis.call('HDEL', KEYS[3], stream)
        if known.begun and not cjson.decode(known.task).retry then
            lost[#lost + 1] = stream
            lost[#lost + 1] = known.task
        else
            redis.call('HSET', KEYS[1], stream, known.task)
            if redis.call('LPUSH', ARGV[1] .. known.key, stream) == 1 then
                redis.call('RPUSH', KEYS[2], known.key)
            end
        end
    end
end
for _, stream in ipairs(redis.call('HKEYS', KEYS[1])) do
    local log = ARGV[3] .. stream
    local claim = redis.call('HGET', log .. ARGV[4], 'claim')
    redis.call('PEXPIRE', log .. ARGV[4], ARGV[5])
    redis.call('PEXPIRE', log, ARGV[5])
    if claim then
        redis.call('PEXPIRE', claim, ARGV[5])
    end
end
return lost
