def greet(name):
    print "Hello, %s" % name
