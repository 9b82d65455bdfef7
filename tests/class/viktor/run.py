from network_def import net

print(sum(p.numel() for p in net.parameters()))
