"""Writers of the formats that other trainers read: nanoGPT, Megatron, MosaicML Streaming."""
