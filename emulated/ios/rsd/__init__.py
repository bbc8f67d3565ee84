"""Remote service discovery: how tools reach services of iOS 17 and later, at the end of a tunnel."""
