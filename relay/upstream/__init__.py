"""targets -> an upstream's answer, its head in hand. All of requests and urllib3 lives here and in pump/takeover."""
