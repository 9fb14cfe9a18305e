-- Take the first waiting task of the next key; that key is the last one then.
-- KEYS: the hash of waiting tasks, the ring of keys, the hash of taken tasks. ARGV: who takes it, the prefix of the keys'
-- lists, then keys that are passed over.
-- Returns the stream and the task, or nothing.
local passed_over = {}
for number = 3, #ARGV do
    passed_over[ARGV[number]] = true
end
for _ = 1, redis.call('LLEN', KEYS[2]) do
    local key = redis.call('LPOP', KEYS[2])
    local list = ARGV[2] .. key
    local stream, task = nil, nil
    while not passed_over[key] and not task do
        stream = redis.call('LPOP', list)
        if not stream then
            break
        end
        task = redis.call('HGET', KEYS[1], stream)  -- nothing: it was removed while it waited
    end
    if redis.call('LLEN', list) > 0 then
        redis.call('RPUSH', KEYS[2], key)
    end
    if task then
        redis.call('HDEL', KEYS[1], stream)
        redis.call('HSET', KEYS[3], stream, cjson.encode({worker = ARGV[1], key = key, begun = false, task = task}))
        return {stream, task}
    end
end
return false
