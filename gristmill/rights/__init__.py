"""The rights of documents: licences, opt-outs, the policy that judges them, and takedown lists."""
